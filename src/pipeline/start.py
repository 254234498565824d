"""Where the console command begins: what it imports takes a while, and an interrupt meanwhile is no traceback."""


def command() -> int:
    """:func:`pipeline.cli.command`, which from then on heeds interrupts itself."""
    try:
        from pipeline import cli

        return cli.command()
    except KeyboardInterrupt:
        from pipeline.errors import EXIT_INTERRUPTED

        return EXIT_INTERRUPTED
