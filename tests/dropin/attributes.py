"""Objects with shared attributes, private and binary ones."""

import datetime
import sys

from parkit import *

set_default_site(sys.argv[1], create=True)


class Account(Object):
    """A class as the original's documents show them: its state is its attributes."""

    interest = 0.5  # of the class: not shared

    def __init__(self, path=None, owner=None):
        def on_init(created):
            if created:
                self.__balance = 0
                self.owner = owner
                self.history = []

        super().__init__(path, create=True, on_init=on_init)

    @property
    def balance(self):
        return self.__balance

    def deposit(self, amount):
        with transaction(self):
            self.__balance += amount
            self.history = [*self.history, (datetime.date(2021, 6, 4), amount)]
            return self.__balance


account = Account("bank/ann", owner="ann")
assert account.deposit(100) == 100
assert Account("bank/ann").deposit(50) == 150
assert account.balance == 150 and account.owner == "ann"
assert account.history == [(datetime.date(2021, 6, 4), 100), (datetime.date(2021, 6, 4), 50)]
assert sorted(account.attributes) == ["_Account__balance", "history", "owner"]
assert account.version == 2  # two transactions

del account.history
assert not hasattr(Account("bank/ann"), "history")
try:
    account.history
except AttributeError:
    pass
else:
    raise AssertionError("it was deleted")
try:
    del account.history
except AttributeError:
    pass
else:
    raise AssertionError("it was deleted")

# Every class has them, collections too.
log = Array("bank/log", create=True)
log.append(1)
log.colour, log.limits = "red", {"low": 1}
assert Array("bank/log").colour == "red" and list(log) == [1]
assert sorted(log.attributes) == ["colour", "limits"]

# Names that end in _binary hold bytes as they are.
account.picture_binary = bytearray(b"\x89PNG\0")
assert bytes(account.picture_binary) == b"\x89PNG\0"
with snapshot(account):
    assert isinstance(account.picture_binary, memoryview)
    assert account.picture_binary[1:4] == b"PNG"


class Plain(Object):
    """Attributes that are bytes."""

    encode_attr_value = None
    decode_attr_value = None


plain = Plain("bank/plain", create=True)
plain.x = b"as it is"
assert bytes(plain.x) == b"as it is"

print("attributes: fine")
