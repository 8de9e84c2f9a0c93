"""What every implementation of the Storage port keeps."""

from __future__ import annotations

import pytest

from lightbox.ports import Storage


class StorageContract:
    """Subclass it and give a fixture ``storage`` that makes an empty one."""

    def test_what_was_put_is_read(self, storage: Storage) -> None:
        storage.put("a/b/c.bin", b"content")
        assert storage.read("a/b/c.bin") == b"content"

    def test_nothing_is_content_too(self, storage: Storage) -> None:
        storage.put("empty", b"")
        assert storage.read("empty") == b""

    def test_putting_again_replaces(self, storage: Storage) -> None:
        storage.put("a", b"first, and longer")
        storage.put("a", b"second")
        assert storage.read("a") == b"second"

    def test_what_is_staged_is_not_found_until_it_is_published(self, storage: Storage) -> None:
        storage.put("folder/a", b"first")
        staged = storage.stage("folder/a", b"second")
        assert storage.read("folder/a") == b"first"
        staged.publish()
        assert storage.read("folder/a") == b"second"
        staged.discard()
        assert storage.read("folder/a") == b"second"

    def test_what_is_discarded_leaves_nothing(self, storage: Storage) -> None:
        staged = storage.stage("folder/a", b"content")
        staged.discard()
        staged.discard()
        with pytest.raises(FileNotFoundError):
            storage.read("folder/a")

    def test_what_is_not_there_is_not_found(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundError):
            storage.read("nowhere")

    def test_what_was_deleted_is_not_found(self, storage: Storage) -> None:
        storage.put("a", b"content")
        storage.delete("a")
        with pytest.raises(FileNotFoundError):
            storage.read("a")

    def test_deleting_what_is_not_there_does_nothing(self, storage: Storage) -> None:
        storage.delete("nowhere/at/all")

    def test_free_space_is_known(self, storage: Storage) -> None:
        assert storage.free_bytes() > 0

    @pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../outside", ""])
    def test_no_path_leads_out(self, storage: Storage, path: str) -> None:
        with pytest.raises(ValueError, match="leads out"):
            storage.put(path, b"evil")
