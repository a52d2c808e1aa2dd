"""What a registry says of a component compared with its signature."""

import inspect


def described_as_signed(registry, name, *, positional):
    """Assert that what the source says of `name` is what Python says once it is imported."""
    described = registry.describe(name)
    signature = inspect.signature(registry.get(name)).parameters
    own = {key: p for key, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    assert [key for key in signature if key not in own] == positional
    expected = {key: p.default for key, p in own.items() if key not in {*described.fixed, *registry.supplied}}
    assert {key: p.default for key, p in described.parameters.items()} == expected
    assert described.summary.endswith((".", ":"))
    assert described.source
