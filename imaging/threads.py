"""How threads of one step wait for each other, in every process that is started for work.

Threads of GNU OpenMP, which torch computes with, spin before they sleep. Left to itself that takes milliseconds: quick
alone, and several times slower as soon as two programs share the cores, since each waits for threads that cannot run.
Asleep at once, every small operation pays for waking the others. Measured on two cores, a step of LeNet-5 alone and
beside another such process: never spinning 13 and 11 ms, 3,000 turns 8 and 19 ms, as many as it likes 8 and 93 ms.
"""

SPIN_VARIABLES = {"GOMP_SPINCOUNT": "3000"}
"""For the environment of a process; what its user has set goes before."""
