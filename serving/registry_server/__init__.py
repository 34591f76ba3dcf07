"""What runs inside the MLflow server: how it is started, and who may do what to the registry.

`python -m serving.registry_server` starts it (MLflow's basic-auth app, one process); `authorization.authorize` is the
`authorization_function` that its configuration names. Nothing outside that process imports this package.
"""
