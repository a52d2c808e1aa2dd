"""``python -m longtail`` is the command line."""

from longtail.pipeline.cli import main

if __name__ == "__main__":
    main()
