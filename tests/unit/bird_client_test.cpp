// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The client against daemons that are slow, hostile, old, or not BIRD at all.
#include "bird/client.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bird/parse.h"
#include "support/fake_daemon.h"
#include "unit/bird_replies.h"

namespace anycast::bird {
namespace {

using std::chrono::milliseconds;
using test::Caller;
using test::FakeDaemon;
using testing::HasSubstr;

constexpr milliseconds kLong{5000}, kShort{150};

Deadline in(milliseconds time)
{
	return Clock::now() + time;
}

struct Failure {
	Trouble trouble = Trouble::kNone;
	std::string message;
	milliseconds took{};
};

Failure failure_of(Client &client, milliseconds limit)
{
	const auto begin = Clock::now();
	const auto reply = client.ask("show status", begin + limit);
	const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
	EXPECT_FALSE(reply);
	return {client.trouble(), reply ? "" : reply.error().message(), took};
}

Failure failure_with(const std::function<void(Caller &)> &serve, milliseconds limit = kLong)
{
	const FakeDaemon daemon(serve);
	Client client(daemon.path());
	return failure_of(client, limit);
}

TEST(BirdClient, AsksAndReadsTheVersion)
{
	const FakeDaemon daemon([](Caller &caller) {
		caller.say(test::kGreeting);
		EXPECT_EQ(caller.line(), "show status");
		caller.say(test::kShowStatus);
		EXPECT_EQ(caller.line(), "show route");
		caller.say("+async\n0000 \n");
		caller.wait_for_end();
	});
	Client client(daemon.path());
	const auto reply = client.ask("show status", in(kLong));
	ASSERT_TRUE(reply) << reply.error().what;
	EXPECT_EQ(reply->code(), 13);
	EXPECT_EQ(client.version(), "2.0.12");
	EXPECT_TRUE(client.ask("show route", in(kLong)));
	EXPECT_EQ(client.trouble(), Trouble::kNone);
	client.close();
	EXPECT_EQ(daemon.connections(), 1);
}

TEST(BirdClient, NobodyThere)
{
	Client nowhere("/nonexistent/bird.ctl");
	const Failure failure = failure_of(nowhere, kLong);
	EXPECT_EQ(failure.trouble, Trouble::kAbsent);
	EXPECT_THAT(failure.message, HasSubstr("No such file"));
	EXPECT_THAT(failure.message, HasSubstr("systemctl status bird"));
	EXPECT_LT(failure.took, kShort);

	const std::string left_over = testing::TempDir() + "bird-left-over.ctl";
	std::filesystem::remove(left_over);
	std::filesystem::rename(FakeDaemon(nullptr).path(), left_over);
	Client refused(left_over); // a socket that nobody listens on
	EXPECT_EQ(failure_of(refused, kLong).trouble, Trouble::kAbsent);
	std::filesystem::remove(left_over);
	Client long_name(std::string(200, 'x'));
	EXPECT_THAT(failure_of(long_name, kLong).message, HasSubstr("too long"));
}

TEST(BirdClient, OneThatNeverGreetsIsHung)
{
	const Failure failure = failure_with([](Caller &caller) { caller.wait_for_end(); }, kShort);
	EXPECT_EQ(failure.trouble, Trouble::kHung);
	EXPECT_THAT(failure.message, HasSubstr("does not answer"));
	EXPECT_GE(failure.took, kShort);
	EXPECT_LT(failure.took, 4 * kShort);
}

TEST(BirdClient, OneThatAcceptsNobodyIsHungAndQueuesStayShort)
{
	const FakeDaemon daemon(nullptr, 2);
	for (int i = 0; i < 10; i++) {
		Client client(daemon.path());
		EXPECT_EQ(failure_of(client, milliseconds(20)).trouble, Trouble::kHung);
	}
	std::vector<std::unique_ptr<Client>> waiting;
	for (int i = 0; i < 10; i++) { // more than its queue holds
		waiting.push_back(std::make_unique<Client>(daemon.path()));
		EXPECT_EQ(failure_of(*waiting.back(), milliseconds(20)).trouble, Trouble::kHung);
	}
}

TEST(BirdClient, OneThatStopsInTheMiddleIsHung)
{
	const Failure failure = failure_with(
		[](Caller &caller) {
			caller.say(test::kGreeting);
			caller.line();
			caller.say("1000-BIRD 2.0.12\n10");
			caller.wait_for_end();
		},
		kShort);
	EXPECT_EQ(failure.trouble, Trouble::kHung);
}

TEST(BirdClient, OneThatDripsForeverIsLate)
{
	const auto drip = [](std::string_view text) {
		return [text](Caller &caller) {
			caller.say(test::kGreeting);
			caller.line();
			while (caller.say(text))
				std::this_thread::sleep_for(milliseconds(5));
		};
	};
	for (const char *text : {"1007-a\n", "+asynchronous\n", "x"}) {
		const Failure failure = failure_with(drip(text), kShort);
		EXPECT_NE(failure.trouble, Trouble::kNone) << text;
		EXPECT_LT(failure.took, 4 * kShort) << text;
	}
}

TEST(BirdClient, AFloodEndsAtTheBound)
{
	std::string lines;
	while (lines.size() < (1 << 16))
		lines += "1007-another route\n";
	const Failure failure = failure_with(
		[&](Caller &caller) {
			caller.say(test::kGreeting);
			while (caller.say(lines))
				;
		},
		12 * kLong);
	EXPECT_EQ(failure.trouble, Trouble::kBroken);
	EXPECT_THAT(failure.message, HasSubstr("a reply without an end"));
}

TEST(BirdClient, ATruncatedReplyIsAnError)
{
	const Failure failure = failure_with([](Caller &caller) {
		caller.say(test::kGreeting);
		caller.line();
		caller.say("1000-BIRD 2.0.12\n1011-Router");
	});
	EXPECT_EQ(failure.trouble, Trouble::kAbsent);
	EXPECT_THAT(failure.message, HasSubstr("before the end of its reply"));
}

TEST(BirdClient, SomebodyElseIsNotBird)
{
	for (const char *greeting :
	     {"220 smtp.example ESMTP\r\n", "0001 FRR 8.4 ready.\n", "0000 BIRD 2.0.12 ready.\n",
	      "HTTP/1.1 400 Bad Request\r\n\r\n", "\x16\x03\x01\n"}) {
		const Failure failure = failure_with([&](Caller &caller) {
			caller.say(greeting);
			caller.wait_for_end();
		});
		EXPECT_EQ(failure.trouble, Trouble::kBroken) << greeting;
		EXPECT_EQ(failure.message.find('\x16'), std::string::npos);
	}
}

TEST(BirdClient, OtherVersionsAreRefusedByName)
{
	for (const std::string version : {"1.6.8", "3.0.1"}) {
		const Failure failure = failure_with([&](Caller &caller) {
			caller.say("0001 BIRD " + version + " ready.\n");
			caller.wait_for_end();
		});
		EXPECT_EQ(failure.trouble, Trouble::kRefused);
		EXPECT_THAT(failure.message, HasSubstr("BIRD " + version + " is not supported"));
		EXPECT_THAT(failure.message, HasSubstr("BIRD 2 is"));
	}
	const FakeDaemon newer([](Caller &caller) {
		caller.say("0001 BIRD 2.15.1 ready.\n");
		caller.line();
		caller.say("0000 \n");
		caller.wait_for_end();
	});
	Client client(newer.path());
	EXPECT_TRUE(client.ask("show status", in(kLong)));
	client.close();
}

TEST(BirdClient, TwoRepliesToOneCommandAreNotTrusted)
{
	const Failure failure = failure_with([](Caller &caller) {
		caller.say(test::kGreeting);
		caller.line();
		caller.say("0000 \n0003 Reconfigured\n");
		caller.wait_for_end();
	});
	EXPECT_EQ(failure.trouble, Trouble::kBroken);
	EXPECT_THAT(failure.message, HasSubstr("more than one reply"));
}

TEST(BirdClient, ARestartBetweenCommandsIsNotNoticed)
{
	const FakeDaemon daemon([](Caller &caller) {
		caller.say(test::kGreeting);
		caller.line();
		caller.say("0000 \n"); // and it is gone
	});
	Client client(daemon.path());
	for (int i = 0; i < 5; i++)
		EXPECT_TRUE(client.ask("show status", in(kLong))) << i;
	EXPECT_EQ(daemon.connections(), 5);
}

TEST(BirdClient, ALongReplyArrivesWhole)
{
	std::string routes;
	for (int i = 0; i < 100000; i++)
		routes +=
			"1007-198.51.100.80/32     blackhole [anycast_xdp4 18:56:52.075] * (250)\n";
	const FakeDaemon daemon([&](Caller &caller) {
		caller.say(test::kGreeting);
		caller.line();
		caller.say(routes + "0000 \n");
		caller.wait_for_end();
	});
	Client client(daemon.path());
	const auto reply = client.ask("show route", in(kLong));
	ASSERT_TRUE(reply) << reply.error().what;
	EXPECT_EQ(reply->lines.size(), 100001U);
	EXPECT_EQ(parse_routes(*reply)->size(), 100000U);
	client.close();
}

TEST(BirdClient, ACommandIsOneLine)
{
	Client client("/nonexistent/bird.ctl");
	EXPECT_FALSE(client.ask("show status\nconfigure", in(kLong)));
}

} // namespace
} // namespace anycast::bird
