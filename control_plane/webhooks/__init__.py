"""Webhooks: targets are told what happened, signed as Standard Webhooks say."""
