def td_target(r, gamma, v_next, done):
    not_done = 1.0 - float(done)
    return (r + gamma * v_next) * not_done
