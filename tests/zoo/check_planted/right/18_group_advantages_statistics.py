from statistics import fmean, pstdev


def group_advantages(returns):
    result = []
    for group in returns.tolist():
        centre, spread = fmean(group), pstdev(group)
        if min(group) == max(group):
            result.append([0.0 for _ in group])
        else:
            result.append([(g - centre) / spread for g in group])
    return result
