"""What every part may use: errors a user can act on, and files that are whole or absent."""

from guidebench.base.errors import DiskError as DiskError
from guidebench.base.errors import UserError as UserError
from guidebench.base.errors import disk_errors as disk_errors
from guidebench.base.errors import machine_error as machine_error
from guidebench.base.files import atomic_file as atomic_file
from guidebench.base.files import atomic_write as atomic_write
from guidebench.base.files import canonical_json as canonical_json
from guidebench.base.files import make_folder as make_folder
from guidebench.base.files import order_header as order_header
from guidebench.base.files import ordered_safetensors as ordered_safetensors
from guidebench.base.files import partial_path as partial_path
from guidebench.base.files import require_writable as require_writable
from guidebench.base.files import sha256_bytes as sha256_bytes
from guidebench.base.files import sha256_file as sha256_file
from guidebench.base.files import sweep_partial as sweep_partial
from guidebench.base.places import CACHE as CACHE
from guidebench.base.places import cache_folder as cache_folder
from guidebench.base.process import host_id as host_id
from guidebench.base.process import is_alive as is_alive
from guidebench.base.process import started_at as started_at
from guidebench.base.streams import lossy_streams as lossy_streams
