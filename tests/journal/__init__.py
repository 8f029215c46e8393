"""The journal's tests."""

import pytest

pytest.register_assert_rewrite("tests.journal.etcd_suite")
