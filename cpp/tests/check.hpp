/// A check that says where it failed and goes on.
#pragma once

#include <cstdio>
#include <random>

inline int failures = 0;

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            ++failures;                                                         \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                       \
    } while (false)

/// Random integers in 0 .. most; the same on every machine.
class Dice {
public:
    int operator()(int most) { return static_cast<int>(engine_() % (most + 1u)); }

private:
    std::mt19937 engine_{7};
};

void test_flips();
void test_regions();
void test_class_iou();
