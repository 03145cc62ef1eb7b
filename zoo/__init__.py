"""The command line: train, measure and compare; imported as ``sb3_ext.zoo``."""


def register() -> None:
    """Makes ours known to RL Zoo, for scripts that run it: see :func:`sb3_ext.zoo.registration.register`."""
    from sb3_ext.zoo import registration

    registration.register()
