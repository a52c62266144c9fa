from aebayes.cli import main

main()
