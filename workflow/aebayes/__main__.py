import sys

from aebayes.forkserver import run_forked

status = run_forked(sys.argv[1:])
if status is None:
    from aebayes.cli import main

    main()
sys.exit(status)
