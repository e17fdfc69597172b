"""HDF5 files that would harm a careless reader: what may be done to a good file, by name.

Each entry of `HARMS` changes an open file, run or data file alike, so that it reaches for another
file, claims what it does not store, or keeps a reader busy. `LIES_OF_RUNS` and `LIES_OF_DATA` use
plain HDF5 throughout, but say what is not so.
"""

import json
import zlib

import h5py
import numpy as np

from nnlab.hdf5 import MAX_ATTRIBUTES, MAX_OBJECTS

SECRET = "secret.h5"


def make_secret(folder):
    """Write the file beside the hostile one that no reader may touch."""
    with h5py.File(folder / SECRET, "w") as file:
        file["data"] = np.arange(4.0)
        group = file.create_group("group")
        group["W"], group["images"] = np.zeros((4, 4)), np.zeros((2, 4, 4, 1), np.uint8)


def _first(file, kind):
    """The name of the first data set or group on the top level."""
    return next(name for name in file if isinstance(file[name], kind))


def soft_link(file, folder):
    """A link to another place."""
    file["link"] = h5py.SoftLink(_first(file, h5py.Group))


def soft_link_in_the_middle(file, folder):
    """A group that is a link, with the real one elsewhere."""
    name = _first(file, h5py.Group)
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def circle_of_soft_links(file, folder):
    """Two links that name each other."""
    file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")


def external_link(file, folder):
    """A link into another file."""
    file["link"] = h5py.ExternalLink(str(folder / SECRET), "/data")


def external_link_in_the_middle(file, folder):
    """A group that lies in another file."""
    name = _first(file, h5py.Group)
    del file[name]
    file[name] = h5py.ExternalLink(str(folder / SECRET), "/group")


def external_storage(file, folder):
    """A data set whose bytes are those of another file."""
    file.create_dataset("raw", (16,), "u1", external=[(str(folder / SECRET), 0, 16)])


def external_storage_of_the_classes(file, folder):
    """A data set that every reader needs, with the bytes of another file."""
    del file["classes"]
    space, kind = h5py.h5s.create_simple((10,)), h5py.h5t.C_S1.copy()
    kind.set_size(8)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_external(str(folder / SECRET).encode(), 0, 80)
    h5py.h5d.create(file.id, b"classes", kind, space, properties)


def virtual_data(file, folder):
    """A data set put together from another file."""
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / SECRET), "data", (4,))
    file.create_virtual_dataset("virtual", layout)


def variable_text(file, folder):
    """Text of variable length, which can keep HDF5 busy for ever."""
    file.create_dataset("text", data="abc", dtype=h5py.string_dtype())


def variable_attribute(file, folder):
    """The same in an attribute."""
    file[_first(file, h5py.Group)].attrs["note"] = "of variable length"


def variable_root_attribute(file, folder):
    """The same at the root."""
    file.attrs["kind"] = "network"


def variable_format(file, folder):
    """The same in the attribute that is read first."""
    kind = bytes(file.attrs["nnlab_format"]).decode()
    file.attrs["nnlab_format"] = kind


def variable_version(file, folder):
    """The same in the attribute that is read next."""
    file.attrs["format_version"] = "1"


def vector_of_versions(file, folder):
    """A version that is no number but many."""
    file.attrs["format_version"] = np.arange(1000)


def compound(file, folder):
    """Records."""
    file["pairs"] = np.zeros(2, [("a", "i4"), ("b", "f4")])


def reference(file, folder):
    """A pointer to an object."""
    target = file[_first(file, h5py.Group)]
    file.create_dataset("reference", data=target.ref, dtype=h5py.ref_dtype)


def opaque(file, folder):
    """Bytes without a meaning."""
    file["opaque"] = np.zeros(4, "V16")


def array_type(file, folder):
    """Elements that are arrays."""
    file.create_dataset("arrays", (2,), np.dtype(("f4", (1000, 1000, 100))))


def empty_space(file, folder):
    """A data set without any element or shape."""
    file["empty"] = h5py.Empty("f8")


def empty_attribute(file, folder):
    """An attribute without a value."""
    file[_first(file, h5py.Group)].attrs["nothing"] = h5py.Empty("f8")


def circle(file, folder):
    """A group that holds the one it lies in."""
    file[f"{_first(file, h5py.Group)}/again"] = file["/"]


def two_names(file, folder):
    """One data set by two names."""
    file["copy"] = file[_first(file, h5py.Dataset)]


def depth(file, folder):
    """Groups in groups in groups."""
    file.create_group("a/" * 3000)


def breadth(file, folder):
    """More objects than a file of nnlab's can have."""
    for index in range(MAX_OBJECTS + 10):
        file.create_group(f"wide/{index}")


def crowd_of_attributes(file, folder):
    """More attributes than an object of nnlab's can have."""
    group = file.create_group("crowd")
    for index in range(MAX_ATTRIBUTES + 1):
        group.attrs[str(index)] = 0


def named_type(file, folder):
    """Something that is neither a group nor a data set."""
    file["type"] = np.dtype("f8")


def petabytes(file, folder):
    """A data set of 4 PiB, of which nothing is stored."""
    file.create_dataset("huge", (2**49,), "f8")


def petabytes_in_chunks(file, folder):
    """The same, in chunks."""
    file.create_dataset("huge", (2**49,), "f8", chunks=(2**20,))


def more_than_numbers_can_count(file, folder):
    """A size that does not fit into 64 bits."""
    file.create_dataset("huge", (2**40, 2**40), "f8", chunks=(2**10, 2**10))


def many_claims(file, folder):
    """Claims that are harmless one by one, 2.7 GB together."""
    for index in range(40):
        file.create_dataset(f"claims/{index}", (2**23,), "f8")


def inflation(file, folder):
    """16 MB of zeros, compressed to nothing."""
    file.create_dataset("bomb", data=np.zeros(2**24, "u1"), compression="gzip", chunks=(2**22,))


def big_inflation(file, folder):
    """1 GB of zeros, as well compressed as deflate can."""
    megabytes = 1024
    bomb = file.create_dataset(
        "bomb", (megabytes * 2**20,), "u1", compression="gzip", chunks=(16 * 2**20,)
    )
    chunk = zlib.compress(bytes(16 * 2**20), 9)
    for start in range(0, megabytes * 2**20, 16 * 2**20):
        bomb.id.write_direct_chunk((start,), chunk)


def filter_of_somebody(file, folder):
    """A filter that is a plug-in."""
    file.create_dataset("lzf", data=np.zeros(2**12), compression="lzf")


def scaled_filter(file, folder):
    """A filter that changes what numbers mean."""
    file.create_dataset("scaled", data=np.zeros(2**12), scaleoffset=3)


def long_attribute(file, folder):
    """An attribute of megabytes, kept apart."""
    file.create_group("long", track_order=True).attrs["note"] = np.zeros(2**20)


def name_that_is_no_text(file, folder):
    """A data set whose name is not UTF-8."""
    file[f"{_first(file, h5py.Group)}".encode() + b"/\xc9\xb8\xe8"] = np.zeros(4)


def attribute_whose_name_is_no_text(file, folder):
    """An attribute whose name is not UTF-8, which sorts with no other name."""
    file[_first(file, h5py.Group)].attrs[b"tr\xc9\xb8\xe8"] = 1.0


def attribute_beyond_double(file, folder):
    """A number of more digits than Python's have."""
    file[_first(file, h5py.Group)].attrs["long"] = np.longdouble(1) / 3


# Each is refused in any file.
HARMS = {
    harm.__name__: harm
    for harm in (
        soft_link, soft_link_in_the_middle, circle_of_soft_links, external_link,
        external_link_in_the_middle, external_storage, external_storage_of_the_classes,
        virtual_data, variable_text, variable_attribute, variable_root_attribute, variable_format,
        variable_version, vector_of_versions, compound, reference, opaque, array_type, empty_space,
        empty_attribute, circle, two_names, depth, breadth, crowd_of_attributes, named_type,
        petabytes, petabytes_in_chunks, more_than_numbers_can_count, many_claims, inflation,
        big_inflation, filter_of_somebody, scaled_filter, long_attribute,
        name_that_is_no_text, attribute_whose_name_is_no_text,
        attribute_beyond_double,
    )
}  # fmt: skip


def _replace(file, name, data):
    del file[name]
    file.create_dataset(name, data=data)


def _text(file, name, text):
    _replace(file, name, np.array(text.encode(), f"S{len(text)}"))


def _change(file, name, **changes):
    record = json.loads(file[name][()])
    _text(file, name, json.dumps(record | changes))


def class_names_missing(file, folder):
    """No names of classes."""
    del file["classes"]


def config_is_a_list(file, folder):
    """JSON of another kind."""
    _text(file, "config", "[1]")


def config_is_deep(file, folder):
    """JSON that is lists in lists in lists."""
    _text(file, "config", "[" * 100_000)


def config_is_a_long_number(file, folder):
    """JSON with a number of a million digits."""
    _text(file, "config", '{"epochs": ' + "9" * 1_000_000 + "}")


def network_without_end(file, folder):
    """A layer of 10^12 units."""
    spec = json.loads(file["model/spec"][()])
    spec["network"]["layers"].insert(0, {"kind": "linear", "outputs": 10**12})
    _text(file, "model/spec", json.dumps(spec))


def a_million_layers(file, folder):
    """Layers upon layers."""
    spec = json.loads(file["model/spec"][()])
    spec["network"]["layers"] = [{"kind": "relu"}] * 1_000_000
    _text(file, "model/spec", json.dumps(spec))


def inputs_without_end(file, folder):
    """Images of 10^6 x 10^6 pixels."""
    _change(file, "model/spec", image_shape=[10**6, 10**6, 3])


def layer_of_another_world(file, folder):
    """A kind of layer that names a module."""
    spec = json.loads(file["model/spec"][()])
    spec["network"]["layers"][0]["kind"] = "os.system"
    _text(file, "model/spec", json.dumps(spec))


def spec_of_wrong_types(file, folder):
    """Text where there should be numbers."""
    _change(file, "model/spec", network=["linear"], loss=3, image_shape="many")


# Each is refused in a run file by what builds its network, or already on reading.
LIES_OF_RUNS = {
    lie.__name__: lie
    for lie in (
        class_names_missing, config_is_a_list, config_is_deep, config_is_a_long_number,
        network_without_end, a_million_layers, inputs_without_end, layer_of_another_world,
        spec_of_wrong_types,
    )
}  # fmt: skip


def labels_beyond_the_classes(file, folder):
    """A label that no class has."""
    file["train/labels"][0] = 2**62


def fewer_labels_than_images(file, folder):
    """Images without labels."""
    _replace(file, "train/labels", file["train/labels"][1:])


def images_of_floats(file, folder):
    """Images that are no bytes."""
    _replace(file, "train/images", file["train/images"][()].astype("f4"))


def images_that_are_not_there(file, folder):
    """40 MB of images of which nothing is stored."""
    rows = len(file["train/labels"])
    del file["train/images"]
    file.create_dataset("train/images", (rows, 800, 800, 1), "u1")


def another_shape_in_test(file, folder):
    """Splits of different images."""
    rows = len(file["test/labels"])
    _replace(file, "test/images", np.zeros((rows, 5, 5, 1), "u1"))


def no_training_split(file, folder):
    """Nothing to learn from."""
    del file["train"]


def options_are_deep(file, folder):
    """JSON that is lists in lists in lists."""
    del file.attrs["options"]
    file.attrs["options"] = np.array(b"[" * 60_000, "S60000")


def statistics_of_another_shape(file, folder):
    """A mean image of other images."""
    _replace(file, "statistics/mean_image", np.zeros((2, 2, 1)))


def many_splits_that_are_not_there(file, folder):
    """100 splits of 50 MB, of which nothing is stored."""
    rows = 50_000
    for index in range(100):
        file.create_dataset(f"split{index}/images", (rows, 28, 28, 1), "u1")
        file.create_dataset(f"split{index}/labels", (rows,), "u1")


LIES_OF_DATA = {
    lie.__name__: lie
    for lie in (
        class_names_missing, labels_beyond_the_classes, fewer_labels_than_images, images_of_floats,
        images_that_are_not_there, another_shape_in_test, no_training_split, options_are_deep,
        statistics_of_another_shape, many_splits_that_are_not_there,
    )
}  # fmt: skip
