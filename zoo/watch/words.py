# ruff: noqa: RUF001, RUF002  (signs of mathematics)
"""Numbers and returns, written out."""

from typing import NamedTuple


class Future(NamedTuple):
    """The value of S', its part of the target."""

    value: float
    symbols: str
    numbers: str


def return_in_words(rewards: list[float], gamma: float, future: Future | None) -> tuple[str, str]:
    """The return of rewards, and of what follows them: symbols, numbers."""
    n = len(rewards)
    if n > 4:
        symbols, numbers = f"R₁ + γ R₂ + … + γ{power(n - 1)} R{index(n)}", f"{text(rewards[0])} + … ({n} rewards)"
    else:
        powers = ["", "γ ", *(f"γ{power(k)} " for k in range(2, n))]
        symbols = " + ".join(f"{powers[k]}R{index(k + 1)}" for k in range(n))
        numbers = " + ".join(
            (f"{text(gamma**k)} × " if k else "") + text(reward, inside=k > 0) for k, reward in enumerate(rewards)
        )
    if future is not None:
        symbols += f" + γ{power(n)} {future.symbols}"
        numbers += f" + {text(gamma**n)} × {future.numbers}"
    return symbols, numbers


def text(number: float, inside: bool = False) -> str:
    """A number of at most five digits; in brackets if it is negative and follows a sign.

    Example:
        >>> text(-0.25), text(-0.25, inside=True)
        ('−0.25', '(−0.25)')
    """
    written = f"{float(number) + 0.0:.5g}".replace("-", "\N{MINUS SIGN}")
    return f"({written})" if inside and written.startswith("\N{MINUS SIGN}") else written


def index(number: int) -> str:
    """A number as an index."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def power(number: int) -> str:
    """An exponent; none for 1."""
    return "" if number == 1 else str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
