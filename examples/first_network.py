"""A first network: points on two rings, which no straight line separates.

python examples/first_network.py
"""

import numpy as np

import tinynet as tn
from tinynet import nn, optim

tn.manual_seed(0)

# 400 points near two rings; the label says which one.
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, 400)
angles, radii = rng.uniform(0, 2 * np.pi, 400), 1 + labels + rng.normal(0, 0.2, 400)
points = np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])

model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
print(model)

# By hand: forward, backward, update. This is all that training is.
loss_function = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=1e-2)
for step in range(50):
    optimizer.zero_grad()
    loss = loss_function(model(tn.Tensor(points, dtype=np.float32)), labels)
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step:2}: loss {loss.item():.3f}")

# The same with a Trainer: shuffled mini-batches, validation, history. It goes on from the weights above.
trainer = tn.Trainer(model, loss_function, optimizer)
history = trainer.fit(points[:300], labels[:300], epochs=20, validation_data=(points[300:], labels[300:]))
right = (trainer.predict(points[300:]).argmax(axis=1) == labels[300:]).mean()
print(f"{history.samples_per_second:,.0f} samples/s on {tn.current_backend().name}")
print(f"{right:.0%} of the held-out points right")
