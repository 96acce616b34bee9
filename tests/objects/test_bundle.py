"""A bundle survives the disk bit for bit, and anything that is not one is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from storm_edge.errors import ObjectBundleError, OutputError
from storm_edge.objects.bundle import ObjectBundle, is_bundle
from storm_edge.objects.bundle_files import (
    ARRAYS,
    DESCRIPTION,
    StoredEmbedding,
    read_stored_embedding,
    stored_embeddings,
)
from storm_edge.objects.onboard import onboard


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ObjectBundle:
    path = tmp_path_factory.mktemp("model") / "obj_000007.ply"
    trimesh.creation.box((0.1, 0.12, 0.15)).export(path)
    return onboard(path, "m", view_subdivisions=0)


def test_everything_comes_back(bundle: ObjectBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "box")
    again = ObjectBundle.load(tmp_path / "box")
    assert is_bundle(tmp_path / "box")
    assert (again.object_id, again.diameter_m, again.source) == ("obj_000007", bundle.diameter_m, bundle.source)
    for name in ("T_obj_centre", "symmetries", "rotation_grid"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bundle, name))
    for part in ("mesh", "mesh_lod", "viewpoints"):
        mine, theirs = getattr(bundle, part), getattr(again, part)
        for field in fields(mine):
            expected, found = getattr(mine, field.name), getattr(theirs, field.name)
            assert (expected is None) == (found is None)
            if expected is not None:
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == expected.dtype


def test_a_texture_comes_back(bundle: ObjectBundle, tmp_path: Path) -> None:
    uv = np.zeros((len(bundle.mesh.vertices), 2), dtype=np.float32)
    texture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    replace(bundle, mesh=replace(bundle.mesh, uv=uv, texture=texture)).save(tmp_path / "box")
    mesh = ObjectBundle.load(tmp_path / "box").mesh
    np.testing.assert_array_equal(mesh.texture, texture)
    np.testing.assert_array_equal(mesh.uv, uv)


@pytest.mark.parametrize(
    ("object_id", "number"), [("obj_000007", 7), ("7", 7), ("000012", 12), ("mug", None), ("mug_2", None)]
)
def test_bop_id_is_the_number_in_the_name(bundle: ObjectBundle, object_id: str, number: int | None) -> None:
    assert replace(bundle, object_id=object_id).bop_id == number


def test_an_older_bundle_is_replaced_and_other_folders_are_not_touched(bundle: ObjectBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "box")
    replace(bundle, object_id="crate").save(tmp_path / "box")
    assert ObjectBundle.load(tmp_path / "box").object_id == "crate"
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.png").write_bytes(b"")
    with pytest.raises(OutputError, match="a folder with other files"):
        bundle.save(photos)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box", "photos"]


def test_edited_arrays_are_refused(bundle: ObjectBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "box")
    data = bytearray((tmp_path / "box" / ARRAYS).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "box" / ARRAYS).write_bytes(data)
    with pytest.raises(ObjectBundleError, match=r"arrays.npz: got sha256"):
        ObjectBundle.load(tmp_path / "box")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"diameter_m": "wide"}, "diameter_m"),
    ],
)
def test_an_edited_description_is_refused(
    bundle: ObjectBundle, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    bundle.save(tmp_path / "box")
    path = tmp_path / "box" / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ObjectBundleError, match=message) as caught:
        ObjectBundle.load(tmp_path / "box")
    assert "\n" not in str(caught.value)


def test_missing_pieces_are_named(bundle: ObjectBundle, tmp_path: Path) -> None:
    with pytest.raises(ObjectBundleError, match="no such folder"):
        ObjectBundle.load(tmp_path / "box")
    bundle.save(tmp_path / "box")
    (tmp_path / "box" / ARRAYS).unlink()
    with pytest.raises(ObjectBundleError, match=r"arrays.npz: No such file"):
        ObjectBundle.load(tmp_path / "box")
    (tmp_path / "box" / DESCRIPTION).unlink()
    with pytest.raises(ObjectBundleError, match=r"object.json: No such file"):
        ObjectBundle.load(tmp_path / "box")


def test_template_embeddings_lie_beside_it(bundle: ObjectBundle, tmp_path: Path) -> None:
    embeddings = [
        StoredEmbedding(bundle="nano", network="a" * 64, data=b"one"),
        StoredEmbedding(bundle="x", network="b" * 64, data=b""),
    ]
    bundle.save(tmp_path / "box", embeddings=embeddings)
    assert stored_embeddings(tmp_path / "box") == {"a" * 64: "nano", "b" * 64: "x"}
    assert read_stored_embedding(tmp_path / "box", "a" * 64) == embeddings[0]
    assert read_stored_embedding(tmp_path / "box", "c" * 64) is None
    ObjectBundle.load(tmp_path / "box")
    bundle.save(tmp_path / "box")  # an older bundle is replaced as a whole
    assert stored_embeddings(tmp_path / "box") == {}
    assert sorted(p.name for p in (tmp_path / "box").iterdir()) == ["SHA256SUMS", "arrays.npz", "object.json"]


def test_a_bundle_from_before_template_embeddings_loads(bundle: ObjectBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "box")
    path = tmp_path / "box" / DESCRIPTION
    description = json.loads(path.read_text())
    del description["embeddings"]
    path.write_text(json.dumps(description))
    assert ObjectBundle.load(tmp_path / "box").object_id == "obj_000007"
    assert stored_embeddings(tmp_path / "box") == {}


def test_an_embedding_that_was_edited_is_refused(bundle: ObjectBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "box", embeddings=[StoredEmbedding(bundle="nano", network="a" * 64, data=b"one")])
    path = tmp_path / "box" / DESCRIPTION
    good = path.read_text()
    file = tmp_path / "box" / "embeddings" / f"{'a' * 16}.npz"
    file.write_bytes(b"two")
    with pytest.raises(ObjectBundleError, match=r"aaaa\.npz: got sha256"):
        read_stored_embedding(tmp_path / "box", "a" * 64)
    file.unlink()
    with pytest.raises(ObjectBundleError, match=r"aaaa\.npz: No such file"):
        read_stored_embedding(tmp_path / "box", "a" * 64)
    path.write_text(good.replace(f"embeddings/{'a' * 16}.npz", "../elsewhere.npz"))
    with pytest.raises(ObjectBundleError, match="expected a file of the bundle"):
        read_stored_embedding(tmp_path / "box", "a" * 64)


def test_a_bundle_of_an_older_release_keeps_its_embeddings(bundle: ObjectBundle, tmp_path: Path) -> None:
    """Until 0.1 both the folder and the key of the embeddings were called ``looks``."""
    stored = StoredEmbedding(bundle="nano", network="a" * 64, data=b"one")
    bundle.save(tmp_path / "box", embeddings=[stored])
    (tmp_path / "box" / "embeddings").rename(tmp_path / "box" / "looks")
    path = tmp_path / "box" / DESCRIPTION
    path.write_text(path.read_text().replace("embeddings", "looks"))
    assert stored_embeddings(tmp_path / "box") == {"a" * 64: "nano"}
    assert read_stored_embedding(tmp_path / "box", "a" * 64) == stored
    assert ObjectBundle.load(tmp_path / "box").object_id == bundle.object_id
