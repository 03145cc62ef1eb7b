"""TokenWorld: text generation as a Markov decision process, with tasks whose answers can be verified."""
