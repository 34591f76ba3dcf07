"""The steps of the pipelines: one KFP component a file, each a thin call of one library function.

A component's inputs and outputs are local files, so the same object runs in process (`python_func`), as a
subprocess on one machine, in the project's image, and on a cluster. What runs after what is `pipelines`'
business; addresses and secrets reach a step by its environment, never as a parameter. The table of them is
`components.table`: inside a step KFP cannot build components, and a step may import from this package.
"""
