// The connection to the server. It decides nothing: messages go out as JSON, and come in as JSON or as a head and arrays.

/** The head and arrays of a binary message; what is left after them is a picture. */
export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const arrays = {};
  for (const [name, rows, columns] of head.arrays) {
    arrays[name] = new Float32Array(buffer, at, rows * columns);
    at += 4 * rows * columns;
  }
  return { ...head, ...arrays, picture: buffer.byteLength > at ? new Uint8Array(buffer, at) : null };
}

/** Opens the connection, and again when it was lost; onMessage gets each message, onState true or false. */
export function connect(onMessage, onState) {
  let socket, wait = 500;
  const open = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => (wait = 500);
    socket.onmessage = ({ data }) => onMessage(typeof data === "string" ? JSON.parse(data) : unpacked(data));
    socket.onclose = ({ reason }) => {
      onState(false, reason);
      setTimeout(open, wait);
      wait = Math.min(2 * wait, 8000);
    };
  };
  open();
  addEventListener("pagehide", () => {
    socket.onclose = null;
    socket.close();
  });
  return (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
}
