"""moto's server, with the one answer put right that keeps every strict client out.

python moto_s3.py PORT
"""

import sys

from moto.s3.responses import S3Response
from moto.server import main


def get_bucket_versioning(self):
    """moto 5.2.5 names its document GetBucketVersioningResponse, S3 and the SDK VersioningConfiguration."""
    status = self.backend.get_bucket_versioning(self.bucket_name)
    text = f"<Status>{status}</Status>" if status else ""
    return 200, {}, f"<VersioningConfiguration>{text}</VersioningConfiguration>"


if __name__ == "__main__":
    S3Response.get_bucket_versioning = get_bucket_versioning
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
