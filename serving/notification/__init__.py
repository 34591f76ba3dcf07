"""Telling people what waits for them and what went wrong: by e-mail, webhook or Slack, from the audit record alone."""
