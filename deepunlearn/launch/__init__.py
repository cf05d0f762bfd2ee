"""From a grid to tasks and from tasks to results: plan, estimate, worker, local runner."""
