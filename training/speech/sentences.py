"""Sentences to speak: written for this project, rich in lip closures, open vowels and clusters."""

from __future__ import annotations

TRAINING: tuple[str, ...] = (
    "Maybe people buy a pair of blue mops.",
    "A big baby sat on top of the black cab.",
    "Take a deep breath and cup your hands around the mug.",
    "We moved the piano before the party began.",
    "The farmer's market opens at half past five.",
    "Please remember to bring both umbrellas back home.",
    "Five fat frogs jumped over the warm stove.",
    "I thought the weather would be rather better than this.",
    "She sells small wooden boats by the bay.",
    "My brother bought a map of Bombay, but he lost it.",
    "Could you show me where the nearest station is?",
    "Who knew that the blue moon would look so huge?",
    "Father parked the car far from the calm harbour.",
    "You and I were always in a hurry to leave.",
    "The judge asked a sharp question about the change.",
    "Bob's pub is open, and the band plays pop.",
    "Most of my books are about maps, bees and music.",
    "Nothing is as good as a long walk in the hills.",
    "He wrapped the apple pie in paper and put it in a box.",
    "Why do voices sound warmer over the old radio?",
    "Seven silver spoons lay on the table.",
    "That is what I meant when I called you yesterday.",
    "Bring me a cup of coffee and some bread, please.",
    "The young girl laughed, clapped, and ran up the path.",
)

HELD_OUT: tuple[str, ...] = (
    "Pam mopped the broad steps before the bank opened.",
    "It was a warm evening and the boats came home early.",
    "Do you believe that a robot could compose an opera?",
    "My apartment has a small balcony above the park.",
    "The chef chopped a pound of tomatoes and pepper.",
    "Nobody expected the lights to go out so soon.",
    "Both of them promised to come back by September.",
    "We should have asked for a better map of the mountain.",
    "A happy puppy barked at the man with the bag.",
    "How far is it from here to the other side of the river?",
    "The problem is simple, but the proof is long.",
    "Put the lamp back on top of the brown cupboard.",
    "I saw a flock of geese fly over the old bridge.",
    "Family members may bring a blanket or a pillow.",
    "Her voice was calm, and her hands moved slowly.",
    "People often hum when they feel comfortable.",
)
