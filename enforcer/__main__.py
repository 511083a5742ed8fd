"""`python -m enforcer` is the command `enforcer`."""

import sys

from enforcer.cli.main import main

sys.exit(main(sys.argv[1:]))
