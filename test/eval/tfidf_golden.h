// SPDX-License-Identifier: Apache-2.0
// Written by make_tfidf_golden.py.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace clr::test {

// clang-format off
const std::vector<std::string> kTfidfTexts = {
    "word7 word7 word0 red7 red9 word1 word4 word7 word3 word7",
    "word4 green11 word2 word5 word0 word1 word6",
    "word7 blue4 word4 word5 word0 word2 word3 word5",
    "word1 word4 word1 red11 red2 word1 red10",
    "green8 word2 word4 green10 green4 word0 word3 word6",
    "alone",
    "red7 word6 word2",
    "word4 green3 green2 green10 green5 word6 word3 word0 word7 green7 word1",
    "word2 word5 word3 blue10 blue3",
    "word3 word3 word6 red8 word2",
    "green10 word7 green10",
    "word5 word5 word5 blue7",
    "word4 red9 word7 red9 word2 word0 red11 red11 word5 word6 word2 red10",
    "green9 word2 green9",
    "blue9 word0 blue8 word3 word6 word1 blue4",
    "red4 word0 word6 word1 word6 word2 word0 red1",
    "word2 word3 green7 green11 word3 green3 green2 word0 word4 word0",
    "word2 blue1 word4 word7 word5 word5 blue9 word6 word4 word1 word5",
    "word0 red1 red9 word0 word1 red6 word3 red5 word7 word4 word6",
    "green8 word0 word7 green0 green3 word7 word1 green3",
    "blue8 blue11 blue2 word1 blue3 word2 word0 word5 word2 blue10 blue11 word3",
    "red8 red6 red2 word2 word5 word0 red5 word7 word7 word5 word7 word4 word2",
    "word6 word7 green8 green7 green3 word4",
    "word0 word7 word1 word4 word7 word3 word2 blue2",
    "word3 word0 word1 word1 red5 word1 word7 word2 red11 word1 word1",
    "green10 word6 word2 word6 green6 word6 green1 word2 green6 word3",
    "blue1 blue11 word6 blue7 blue8 word3 word5 blue6 blue3 word1 blue1 blue7 word7",
    "word0 red8 word0 word7 word2 word5 red2",
    "word3 green10 green7 word4 word4 green3 word3 word1 green5 word0 green5 green10 word4",
    "word4 word0 blue6 word0 blue3 blue0 word7 word6 word0",
    "word7 red8 word2 word6 word1 red0",
    "green3 word7 green11 word7 word1 word7 green1 green7 word5 green3 green2 word0 word6",
    "blue11 word0 blue2 word5",
    "word2 red1 word5 red5 red9 word4 word6 word1 red5 word2 word3 word6",
    "word5 word3 green10 word1 green10 green8 word3 green4 green2 word3 word4 word0 word5",
    "blue5 word0 word1 word2 word6 word2 blue4 word0 blue7 word3 blue11 word7",
};
const std::vector<int> kTfidfLabels = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
constexpr int kTfidfTrain = 24;
constexpr int kTfidfWords = 29;
const std::map<std::string, double> kTfidfFirstRow = {
    {"red7", 0.461705040513699},
    {"red9", 0.419136756977568},
    {"word0", 0.223556695688437},
    {"word1", 0.25657522159326},
    {"word3", 0.25657522159326},
    {"word4", 0.233765563034249},
    {"word7", 0.612264004491084},
};
const std::vector<double> kTfidfProbabilities = {
    0.731832536993222, 0.113390381281749, 0.154777081725028, 0.223397069043288, 0.714457807972582, 0.0621451229841297, 0.110622439591827, 0.0404441823396033, 0.84893337806857, 0.794947494135493, 0.0807278306164326, 0.124324675248074, 0.0331956810308279, 0.901654091340373, 0.0651502276287992, 0.383363383374137, 0.199093919269805, 0.417542697356059, 0.859790552641252, 0.0909831514177911, 0.0492262959409564, 0.0495868220089831, 0.882013218820099, 0.0683999591709177, 0.0186929857628296, 0.0176856259097061, 0.963621388327464, 0.843525927933753, 0.0650726017459163, 0.0914014703203306, 0.0519257865865431, 0.668870373630869, 0.279203839782588, 0.363395623307862, 0.266231879967937, 0.370372496724201};
// clang-format on

}  // namespace clr::test
