"""Imported last by the fork server: what it has imported is for no garbage collector of a command to visit.

Otherwise each collection in a command goes through every library, and by touching its objects copies them.
"""

import gc

gc.collect()
gc.freeze()
