"""An embedding and a GRU on sequences of tokens; the class is the most frequent group of tokens."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(6)

X = torch.randint(0, 30, (320, 9))
groups = torch.nn.functional.one_hot(X // 10, 3).sum(dim=1)
y = (groups + 0.3 * torch.rand(320, 3)).argmax(dim=1)

batch_size = 50
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)


class TextClassifier(nn.Module):
    def __init__(self, vocab_size=30, embed_dim=8, num_class=3):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.rnn = nn.GRU(embed_dim, 16, batch_first=True)
        self.fc = nn.Linear(16, num_class)

    def forward(self, text):
        _, hidden = self.rnn(self.embedding(text))
        return self.fc(hidden.squeeze(0))


model = TextClassifier()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

for _ in range(6):
    model.train()
    for text, label in loader:
        optimizer.zero_grad()
        loss = criterion(model(text), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

model.eval()
total_acc, total_count = 0, 0
with torch.no_grad():
    for text, label in loader:
        total_acc += (model(text).argmax(1) == label).sum().item()
        total_count += label.size(0)

reported = f"{total_acc / total_count:.3f}"
print(f"accuracy {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
