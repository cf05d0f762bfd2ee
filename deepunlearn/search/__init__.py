"""Hyper-parameter search: the objective, Optuna studies made of numbered slots, and the selection of a winner."""
