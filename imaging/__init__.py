"""Images and models: what training and serving must agree on, with no server and no pipeline in sight."""
