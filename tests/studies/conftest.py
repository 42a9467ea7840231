import pytest

from searches import BASE, figure
from siamese_nn.studies import search_worker


@pytest.fixture(scope="session")
def sets(toy_pairs, toy_test):
    return BASE.split_pairs(toy_pairs, exclude=toy_test)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A training that takes no time: its figure is that of a formula. Returns the recipes trained."""
    trained = []

    def train(recipe, train, val, run_dir, *, callbacks, **_):
        trained.append(recipe)
        for epoch in range(recipe.epochs):
            for callback in callbacks:
                callback.on_epoch_end(epoch, {recipe.monitor: figure(recipe, epoch)})
        return {"epochs": recipe.epochs, "best_epoch": recipe.epochs, "run_dir": run_dir}

    monkeypatch.setattr(search_worker, "train", train)
    monkeypatch.setattr(
        search_worker,
        "read_history",
        lambda _: {"val_auc": [figure(trained[-1], epoch) for epoch in range(9)]},
    )
    monkeypatch.setattr(search_worker, "_POLL", 0.01)
    monkeypatch.setattr(search_worker.tf.keras.backend, "clear_session", lambda: None)
    return trained
