"""What is measured of a model, from stored logits: plain numpy, scipy and scikit-learn. No torch here.

Definitions stand in the benchmark's protocol (accuracies in [0, 1]; retained, forgotten and test part of the data are
D_R, D_F and D_T). A metric that is not defined for a model is None, never a number that stands for it.
"""

VERSION = 2
"""Part of every metrics key: bump when a stored score would come out differently, or there are new ones. The sweep's
command then scores what is stored anew, from its logits. From 2 on equal models have equal attacks, and AUCs.
"""

LEAST_MOVE = 1e-5
"""Of weights, as a share of their norm: below it a method did nothing that a step of training would not drown.

The contract tests hold methods to it, tables mark what does not reach it.
"""

FOLDS = 10
"""Of the attack's cross-validation: with fewer samples on a side there is none. Here for plans, too."""

USABLE_MARGIN = 1.1
"""A model is usable above so many times the share of the commonest test class, which a constant answer reaches.

Here rather than in `usable`, so that a plan can ask for it without importing scipy.
"""
