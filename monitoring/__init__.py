"""What watches the model that serves: the prediction log, drift from its reference, and the plan for what may follow.

It decides whether a retraining is allowed; starting one belongs to whoever calls it.
"""
