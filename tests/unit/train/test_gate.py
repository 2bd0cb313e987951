"""Nobody trains while somebody draws."""

import pickle
import threading
import time

from initsuite.train.gate import Gate


def test_those_who_train_do_it_together_and_one_who_draws_is_alone() -> None:
    gate, inside, seen = Gate(), set[str](), list[set[str]]()
    all_are_there = threading.Barrier(3, timeout=30)
    is_drawn = threading.Event()

    def train(name: str) -> None:
        with gate.among_others():
            inside.add(name)
            all_are_there.wait()
            while not is_drawn.wait(0.001):
                inside.discard(name)
                gate.let_pass()
                inside.add(name)
            inside.discard(name)

    def draw() -> None:
        all_are_there.wait()
        with gate.alone():
            seen.append(set(inside))
            time.sleep(0.02)
            seen.append(set(inside))
        is_drawn.set()

    threads = [threading.Thread(target=train, args=(name,)) for name in "ab"] + [threading.Thread(target=draw)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert seen == [set(), set()]


def test_nobody_else_draws_and_an_error_opens_the_gate_again() -> None:
    gate, order = Gate(), list[str]()

    def draw(name: str) -> None:
        with gate.alone():
            order.append(f"{name} begins")
            time.sleep(0.01)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=draw, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [line.split()[1] for line in order] == ["begins", "ends"] * 3
    for way in (gate.alone, gate.among_others):
        try:
            with way():
                raise ArithmeticError
        except ArithmeticError:
            pass
    with gate.alone():
        pass


def test_another_process_has_a_gate_of_its_own() -> None:
    gate = Gate()
    with gate.among_others(), pickle.loads(pickle.dumps(gate)).alone():
        pass
