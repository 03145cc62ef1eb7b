def shaping_reward(phi, phi_next, gamma, terminated):
    if terminated:
        phi_next = 0.0
    return phi_next - phi
