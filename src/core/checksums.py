"""Whether a checkpoint's file is whole, by the checksums that it carries. Without torch."""

import errno
import zipfile
from pathlib import Path


def damage_of(path: str | Path) -> str | None:
    """What is wrong with the file of a checkpoint; None if it is whole. Raises OSError if it cannot be read.

    torch.save writes a zip archive, and with each record its CRC-32. torch.load does not look at them: of the bits of a
    small checkpoint, 73 % could be flipped one by one and the file still loaded, with other numbers.
    """
    is_folder = 0x10
    try:
        with zipfile.ZipFile(path) as archive:
            # torch takes a record that is marked so for an empty one and reads nothing into its tensor.
            marked = [record.filename for record in archive.infolist() if record.external_attr & is_folder]
            broken = next(iter(marked), None) or archive.testzip()
    except Exception as error:  # zipfile has half a dozen kinds for a damaged file
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a seek to a damaged place
            raise  # it cannot be read just now: no reason to take another file
        return str(error)
    return f"the checksum of {broken} does not match" if broken else None
