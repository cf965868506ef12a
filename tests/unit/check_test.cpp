// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/check.h"

#include <gtest/gtest.h>

#include "health/dns.h"
#include "health/http.h"

namespace anycast {
namespace {

// 'g' and 'b' for results, then the health behind each of them.
std::string course(RiseFall machine, std::string_view results)
{
	std::string out;
	for (const char result : results) {
		machine.add(result == 'g');
		out += health_name(machine.health()).substr(0, 1) == "u"
			       ? (machine.health() == Health::kUp ? 'U' : '?')
			       : 'D';
	}
	return out;
}

TEST(RiseFall, NeedsSoManyInARow)
{
	EXPECT_EQ(course({2, 3}, "ggbbgbbbgbgg"), "?UUUUUUDDDDU");
	EXPECT_EQ(course({1, 1}, "gbgb"), "UDUD");
}

TEST(RiseFall, UnknownUntilEitherCountIsReached)
{
	EXPECT_EQ(course({2, 3}, "gbgbgbb"), "???????");
	EXPECT_EQ(course({2, 3}, "bbb"), "??D");
}

TEST(RiseFall, GoesOnFromWhatWasKnown)
{
	EXPECT_EQ(course({2, 3, Health::kUp}, "bbgbbb"), "UUUUUD");
	EXPECT_EQ(course({2, 3, Health::kDown}, "gbgg"), "DDDU");
}

TEST(RiseFall, SaysWhenItChanges)
{
	RiseFall machine(1, 2);
	EXPECT_TRUE(machine.add(true));
	EXPECT_FALSE(machine.add(true));
	EXPECT_EQ(machine.in_a_row(), 2U);
	EXPECT_FALSE(machine.add(false));
	EXPECT_TRUE(machine.add(false));
	EXPECT_FALSE(machine.add(false));
}

TEST(Combined, OneDownIsDownOneUnknownIsUnknown)
{
	using enum Health;
	EXPECT_EQ(combined({}), kUp);
	EXPECT_EQ(combined({kUp, kUp}), kUp);
	EXPECT_EQ(combined({kUp, kUnknown}), kUnknown);
	EXPECT_EQ(combined({kUnknown, kDown, kUp}), kDown);
}

TEST(Duration, RoundTrips)
{
	EXPECT_EQ(parse_duration("250ms"), Milliseconds(250));
	EXPECT_EQ(parse_duration("1.5s"), Milliseconds(1500));
	EXPECT_EQ(parse_duration("2m"), Milliseconds(120000));
	EXPECT_EQ(parse_duration("1h"), Milliseconds(3600000));
	for (const char *wrong :
	     {"", "5", "s", "1 s", "-1s", "1e3s", "1d", "nan s", "99999999999s"})
		EXPECT_EQ(parse_duration(wrong), std::nullopt) << wrong;
	for (const int ms : {0, 1, 999, 1000, 1500, 60000, 90000, 3600000})
		EXPECT_EQ(parse_duration(duration_text(Milliseconds(ms))), Milliseconds(ms));
	EXPECT_EQ(duration_text(Milliseconds(0)), "0s");
	EXPECT_EQ(duration_text(Milliseconds(120000)), "2m");
}

using Bytes = std::vector<std::uint8_t>;

Bytes answer_to(Bytes question, std::uint8_t flags, std::uint8_t code, std::uint8_t count,
		const Bytes &records)
{
	question[2] |= flags;
	question[3] = code;
	question[7] = count;
	question.insert(question.end(), records.begin(), records.end());
	return question;
}

const Bytes kRecordA{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};

TEST(Dns, QuestionIsAsTheRfcSays)
{
	EXPECT_EQ(health::dns_question(0x1234, "a.bc.", 1),
		  (Bytes{0x12, 0x34, 1,	  0, 0,	  1,   0, 0, 0, 0, 0,
			 0,    1,    'a', 2, 'b', 'c', 0, 0, 1, 0, 1}));
	EXPECT_EQ(health::dns_question(1, ".", 2).size(), 17U) << "the root";
	for (const std::string &wrong : {std::string("a..b"), std::string(64, 'x') + ".de",
					 std::string(254, 'x'), std::string("a..")})
		EXPECT_TRUE(health::dns_question(1, wrong, 1).empty()) << wrong;
}

TEST(Dns, JudgesAnswers)
{
	const Bytes question = health::dns_question(7, "www.example.net", 1);
	const auto judge = [&](const Bytes &answer, const char *expect = "") {
		return health::judge_dns(question, answer, Address::parse(expect));
	};
	EXPECT_TRUE(judge(answer_to(question, 0x80, 0, 1, kRecordA))->good);
	EXPECT_TRUE(judge(answer_to(question, 0x80, 0, 1, kRecordA), "192.0.2.7")->good);
	EXPECT_FALSE(judge(answer_to(question, 0x80, 0, 1, kRecordA), "192.0.2.8")->good);
	EXPECT_EQ(judge(answer_to(question, 0x80, 3, 0, {}))->detail, "NXDOMAIN");
	EXPECT_FALSE(judge(answer_to(question, 0x80, 0, 0, {}))->good) << "no record";
	EXPECT_EQ(judge(answer_to(question, 0x80, 0, 2, kRecordA))->detail, "a malformed answer");

	EXPECT_FALSE(judge(answer_to(question, 0, 0, 1, kRecordA))) << "a question, no answer";
	Bytes other = answer_to(question, 0x80, 0, 1, kRecordA);
	other[1]++;
	EXPECT_FALSE(judge(other)) << "another id";
	other = answer_to(health::dns_question(7, "xxx.example.net", 1), 0x80, 0, 1, kRecordA);
	EXPECT_FALSE(judge(other)) << "another name";
}

// Every cut and every flipped byte: judged or not, but never read beyond the end (run with ASan).
TEST(Dns, SurvivesHostileAnswers)
{
	const Bytes question = health::dns_question(7, "www.example.net", 1);
	const Bytes whole = answer_to(question, 0x80, 0, 1, kRecordA);
	for (std::size_t length = 0; length < whole.size(); length++) {
		const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
		const auto outcome = health::judge_dns(question, cut, {});
		EXPECT_FALSE(outcome && outcome->good) << length;
	}
	for (std::size_t at = 0; at < whole.size(); at++)
		for (const int bit : {1, 0x40, 0x80, 0xc0}) {
			Bytes flipped = whole;
			flipped[at] = static_cast<std::uint8_t>(flipped[at] ^ bit);
			(void)health::judge_dns(question, flipped, Address::parse("192.0.2.7"));
		}
}

TEST(Http, JudgesStatusAndBody)
{
	CheckSpec spec;
	EXPECT_TRUE(health::judge_http(spec, 204, "").good);
	EXPECT_TRUE(health::judge_http(spec, 302, "").good);
	EXPECT_FALSE(health::judge_http(spec, 404, "").good);
	spec.status = {404, 418};
	EXPECT_TRUE(health::judge_http(spec, 418, "").good);
	EXPECT_FALSE(health::judge_http(spec, 200, "").good);
	spec.body = "ready";
	EXPECT_TRUE(health::judge_http(spec, 404, "all ready now").good);
	EXPECT_FALSE(health::judge_http(spec, 404, "not yet").good);
}

TEST(Printable, TakesTheStingOut)
{
	EXPECT_EQ(health::printable("a\x1b[31mb\nc\n", 99), "a?[31mb c");
	EXPECT_EQ(health::printable("abcdef", 3), "abc");
}

} // namespace
} // namespace anycast
