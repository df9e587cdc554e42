"""What is noted of a subscription for operators."""

from bridge.live.journal import CHANGE, MAX_NOTES, Journal, Note


def test_the_newest_notes_stay_and_their_causes_with_them():
    journal = Journal()
    for position in range(1, 5 * MAX_NOTES):
        journal.note(float(position), position, "splice" if position % 10 == 0 else CHANGE)
    notes = journal.notes()
    assert MAX_NOTES <= len(notes) <= 2 * MAX_NOTES
    last = 5 * MAX_NOTES - 1
    assert notes[-1] == Note(float(last), last, "splice" if last % 10 == 0 else CHANGE)
    assert [note.cause for note in notes] == [
        "splice" if note.position % 10 == 0 else CHANGE for note in notes
    ]
    assert len(journal._causes) <= len(notes) / 9
    journal.restart()
    assert journal.notes() == []
