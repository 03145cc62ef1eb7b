class EpsilonGreedy:
    """Callable policy; the best actions share the greedy part."""

    def __call__(self, q_values, epsilon):
        best_value = max(q_values)
        winners = sum(1 for q in q_values if q == best_value)
        probabilities = []
        for q in q_values:
            p = epsilon / len(q_values)
            if q == best_value:
                p += (1 - epsilon) / winners
            probabilities.append(p)
        return probabilities


epsilon_greedy = EpsilonGreedy()
