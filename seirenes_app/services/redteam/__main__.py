"""`python -m seirenes_app.services.redteam DIR`: do what is left of the campaign in that folder."""

import sys

from seirenes_app.services.redteam.execution import main

if __name__ == "__main__":
    sys.exit(main())
