"""`python -m seirenes_app.cli`: the `seirenes` command."""

import sys

from seirenes_app.cli.main import main

sys.exit(main())
