"""The data sets that come with scikit-learn."""

import numpy as np
import pytest
from sklearn import datasets as bundled

from bench.components import Shelf, build
from bench.data import Images, Table

FINGERPRINTS = {
    "breast_cancer": "98d0f55ac75a9765",
    "diabetes": "4836bb4fc09f0712",
    "digits": "50ce9ce3c81175ff",
    "wine": "6548c7588180d23f",
}


def load(name: str) -> Table | Images:
    return build(Shelf().config("dataset", name)).load()


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_content_stays_the_same(name: str):
    """Loaded twice, in any year, the data set is the same to the last bit."""
    assert load(name).fingerprint == load(name).fingerprint == FINGERPRINTS[name]


def test_digits_are_images_in_sixteenths():
    """1,797 images of one channel; every pixel is a sixteenth between 0 and 1."""
    digits = load("digits")
    assert digits.pixels.shape == (1797, 1, 8, 8)
    assert set(np.unique(digits.pixels * 16)) == set(range(17))
    np.testing.assert_array_equal(digits.pixels.reshape(1797, 64) * 16, bundled.load_digits().data)
    assert digits.class_names == tuple("0123456789")


def test_breast_cancer_has_ten_groups_of_three():
    """Each measurement's mean, error and worst value stand together, and every column once."""
    data = load("breast_cancer")
    assert data.values.shape == (569, 30)
    assert np.bincount(data.targets).tolist() == [212, 357]
    assert data.class_names == ("malignant", "benign")
    assert len(data.groups) == 10
    grouped = [name for names in data.groups.values() for name in names]
    assert sorted(grouped) == sorted(column.name for column in data.columns)
    for measurement, (mean, error, worst) in data.groups.items():
        assert (mean, error, worst) == (
            f"mean {measurement}",
            f"{measurement} error",
            f"worst {measurement}",
        )
        assert (data.column(worst) >= data.column(mean)).all()


def test_wine_has_three_cultivators():
    """178 wines by 13 numbers; 59, 71 and 48 by cultivator."""
    data = load("wine")
    assert data.values.shape == (178, 13)
    assert np.bincount(data.targets).tolist() == [59, 71, 48]


def test_diabetes_is_a_regression_in_its_own_units():
    """Ages are years, sex is 1 or 2 and sensitive; the target runs from 25 to 346."""
    data = load("diabetes")
    assert data.values.shape == (442, 10)
    assert data.class_names == ()
    assert 18 < data.column("age").min() < data.column("age").max() < 80
    assert data.sensitive == "sex"
    assert set(data.column("sex")) == {1, 2}
    assert (data.targets.min(), data.targets.max()) == (25, 346)
