"""Files that arrive: one that is larger than any table is refused before a byte of it is written anywhere.

From somebody who is not signed in, one that is larger than any form is.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler


class NotTooLarge(FileUploadHandler):
    """The first of the upload handlers: looks at the announced length alone and hands everything on."""

    def handle_raw_input(self, input_data: Any, META: Any, content_length: int, *rest: Any, **more: Any) -> None:  # noqa: N803
        known = self.request is not None and self.request.user.is_authenticated
        if content_length > (settings.LARGEST_UPLOAD_BYTES if known else settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            raise RequestDataTooBig(f"{content_length} bytes are announced.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
