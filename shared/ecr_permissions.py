"""What pulling from Amazon ECR asks of a role: IAM's names of the actions.

Used twice: in the policy that the customer pastes (`grant`), and in the session policy that narrows
the role to it.
"""

from typing import Final

LOGIN_ACTION: Final = "ecr:GetAuthorizationToken"
PULL_ACTIONS: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
# "IAM permissions required to sync an upstream registry with an Amazon ECR private registry"
PULL_THROUGH_CACHE_ACTIONS: Final = ("ecr:BatchImportUpstreamImage", "ecr:CreateRepository")
