// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The promise: whatever happens to the fleet, no session breaks but those of a backend that dies.
// Two edges, an ECMP router, five backends; nodes share nothing but a file.
#include <cstdlib>
#include <random>
#include <sstream>

#include "net/attaching.h"
#include "support/cli.h"
#include "support/in_lab.h"
#include "support/sessions.h"

namespace anycast::test {

namespace {

const Endpoint kSession{kVip, 7000};
constexpr std::int64_t kFar = 4102444800; // 2100: no generation retires in a test

int setting_or(const char *name, int otherwise)
{
	const char *text = std::getenv(name); // NOLINT(concurrency-mt-unsafe)
	return text ? std::atoi(text) : otherwise;
}

struct Member {
	int weight = 100;
	std::string state = "active";
	bool there = true;
};

// What the fleet's configuration tool has: one file for all nodes, but for their roles.
class Fleet {
public:
	Fleet(const Lab &lab, const Cli &cli, bool second_chance)
		: lab_(lab), cli_(cli), second_chance_(second_chance), members_(lab.backends.size())
	{
		members_.back().there = false; // it comes later
	}

	[[nodiscard]] std::string file(const Node &node, bool edge) const
	{
		std::ostringstream out;
		out << "[node]\nname = \"" << node.netns.name()
		    << "\"\nhash_seed = \"6a09e667f3bcc908bb67ae8584caa73b\"\n"
		       "interfaces = [\"eth0\"]\nroles = [\""
		    << (edge ? "edge" : "backend") << "\"]\n[tunnel]\nsource_v4 = \""
		    << node.address << "\"\nedges = [\"" << lab_.edges[0]->address << "\", \""
		    << lab_.edges[1]->address << "\"]\n"
		    << (edge ? "" : "addresses = [\"" + node.address + "\"]\n")
		    << "second_chance = " << (second_chance_ ? "true" : "false")
		    << "\n[limits]\nflows_v4 = 65536\n"
		       "[[pools]]\nname = \"web\"\ntable_size = 4099\n";
		for (std::size_t i = 0; i < members_.size(); i++)
			if (members_[i].there)
				out << "[[pools.backends]]\nname = \"" << name(i)
				    << "\"\naddress = \"" << lab_.backends[i]->address
				    << "\"\nweight = " << members_[i].weight << "\nstate = \""
				    << members_[i].state << "\"\n";
		for (std::size_t g = second_chance_ ? 0 : history_.size(); g < history_.size(); g++)
			if (g + 2 >= history_.size())
				out << "[[pools.generations]]\nnumber = " << g + 1
				    << "\nretire = " << kFar << "\nbackends = [" << history_[g]
				    << "]\n";
		out << "[[vips]]\nname = \"echo\"\naddress = \"" << kVip
		    << "\"\nport = 7000\nprotocol = \"tcp\"\npool = \"web\"\nforward = \"gue\"\n";
		return out.str();
	}

	void attach(const Node &node, bool edge) const
	{
		cli_.expect(node.netns,
			    {"attach", "eth0", "--config", write_config(node, file(node, edge))});
	}
	void attach_all() const
	{
		for (const auto &backend : lab_.backends)
			attach(*backend, false);
		for (const auto &edge : lab_.edges)
			attach(*edge, true);
	}
	// Node by node, as a tool does it: for a while they differ.
	void apply() const
	{
		for (const auto &edge : lab_.edges)
			cli_.expect(edge->netns, {"apply", write_config(*edge, file(*edge, true))});
		for (const auto &backend : lab_.backends)
			cli_.expect(backend->netns,
				    {"apply", write_config(*backend, file(*backend, false))});
	}
	void set_state(std::size_t i, const std::string &state)
	{
		members_[i].state = state;
		apply();
	}
	void set_weight(std::size_t i, int weight)
	{
		remember();
		members_[i].weight = weight;
		apply();
	}
	void add(std::size_t i)
	{
		remember();
		members_[i].there = true;
		apply();
	}

private:
	[[nodiscard]] std::string name(std::size_t i) const
	{
		return lab_.backends[i]->netns.name();
	}
	void remember()
	{
		std::string list;
		for (std::size_t i = 0; i < members_.size(); i++)
			if (members_[i].there)
				list += fmt::format("\"{}={}\", ", name(i), members_[i].weight);
		history_.push_back(list);
	}

	const Lab &lab_;
	const Cli &cli_;
	bool second_chance_;
	std::vector<Member> members_;
	std::vector<std::string> history_;
};

// Both edges, by addresses and ports, or one.
void route(const Lab &lab, const std::vector<std::size_t> &edges)
{
	std::string hops;
	for (const std::size_t edge : edges)
		hops += " nexthop via " + lab.edges[edge]->address;
	lab.router.ip(std::string("route replace ") + kVip + hops);
}

void flush_flows(const Node &edge)
{
	edge.netns.run([&] {
		const Paths paths{.pins = "/sys/fs/bpf/anycast-xdp", .state = "/run/anycast-xdp"};
		auto instance = open_instance(paths, "eth0");
		ASSERT_TRUE(instance) << instance.error().message();
		for (const char *name : {"ax_flow4_idx", "ax_syn"}) {
			Map &map = instance->dataplane.map(name);
			const std::vector<std::byte> nothing(std::size_t{map.value_size()} *
							     map.max_entries());
			ASSERT_TRUE(map.write(0, nothing));
		}
	});
}

std::string summary(const Sessions::Result &result)
{
	std::string text = fmt::format("{} open, {} broken, {} bytes checked", result.open,
				       result.all_broken(), result.bytes);
	for (const auto &[server, count] : result.broken)
		text += fmt::format(", {} of {}'s {}", count, server, result.total.at(server));
	return text + (result.first_error.empty() ? "" : " (" + result.first_error + ")");
}

struct Outcome {
	Sessions::Result through_it_all, after_a_death;
	std::uint64_t passed_on = 0;
};

void pause(int milliseconds_)
{
	std::this_thread::sleep_for(milliseconds(milliseconds_));
}

// Everything at once, in an order that `seed` says.
Outcome run_fleet(bool second_chance, int count, unsigned seed)
{
	Lab lab(1 << 16, 5);
	const Cli cli;
	Fleet fleet(lab, cli, second_chance);
	std::mt19937 random(seed);
	for (const auto &backend : lab.backends)
		backend->servers.push_back(serve_sessions(backend->netns, kSession));
	for (const auto &backend : lab.backends)
		lab.resolve_neighbours(*backend);
	lab.resolve_neighbours();
	fleet.attach_all();
	route(lab, {0, 1});

	auto sessions = std::make_unique<Sessions>(lab.client, kSession, count, milliseconds(100));
	const std::size_t down = random() % 2, drained = 2 + random() % 2;
	int changes = 0;
	const auto change = [&] { // of backends, then of weights
		if (changes++ == 0)
			fleet.add(4);
		else
			fleet.set_weight(4, 150);
	};
	const auto flush = [&] {
		for (const auto &edge : lab.edges)
			flush_flows(*edge);
	};
	std::vector<std::function<void()>> events{
		[&] { route(lab, {0}); },
		[&] {
			route(lab, {1, 0});
		},
		[&] { route(lab, {1}); },
		[&] { fleet.set_state(drained, "draining"); },
		[&] { fleet.set_state(down, "down"); }, // it lives, though
		change,
		change,
		[&] { fleet.attach(*lab.edges[1], true); }, // the program, replaced
		flush,
		flush,
		[&] { // an edge from nothing but its file
			route(lab, {1});
			pause(50);
			cli.expect(lab.edges[0]->netns, {"detach", "eth0"});
			fleet.attach(*lab.edges[0], true);
			route(lab, {0, 1});
		},
	};
	std::ranges::shuffle(events, random);
	for (const auto &event : events) {
		event();
		pause(static_cast<int>(random() % 150));
	}
	flush();
	pause(300);
	fleet.set_state(drained, "active");
	fleet.set_state(down, "active");
	flush();
	pause(300);
	Outcome outcome;
	outcome.through_it_all = sessions->finish(milliseconds(10000));
	for (const auto &backend : lab.backends)
		outcome.passed_on += cli.stats(backend->netns).of("second_chance");
	if (!second_chance)
		return outcome;

	// A death breaks the dead one's, and nobody else's.
	sessions = std::make_unique<Sessions>(lab.client, kSession, count / 2, milliseconds(100));
	lab.fabric.ip("link set b2 down");
	fleet.set_state(1, "down");
	pause(500);
	outcome.after_a_death = sessions->finish(milliseconds(3000));
	return outcome;
}

void prove(int count, unsigned seed)
{
	in_lab([&] {
		const Outcome with = run_fleet(true, count, seed);
		const auto &death = with.after_a_death;
		std::printf("seed %u, %d sessions, %lu packets passed on\n"
			    "  with second chance:      %s\n  a backend's death:       %s\n",
			    seed, count, static_cast<unsigned long>(with.passed_on),
			    summary(with.through_it_all).c_str(), summary(death).c_str());
		EXPECT_EQ(with.through_it_all.all_broken(), 0);
		EXPECT_EQ(with.through_it_all.open, count);
		EXPECT_GT(with.passed_on, 0U);
		EXPECT_EQ(death.broken, (std::map<std::string, int>{{"b2", death.total.at("b2")}}));
	});
	in_lab([&] {
		const Outcome without = run_fleet(false, count, seed);
		std::printf("  without second chance:   %s\n",
			    summary(without.through_it_all).c_str());
		EXPECT_GT(without.through_it_all.all_broken(), 0)
			<< "then this test says nothing about the second chance";
		EXPECT_EQ(without.passed_on, 0U);
	});
}

} // namespace

TEST(Proof, NoSessionBreaksWhateverHappensToTheFleet)
{
	const int rounds = setting_or("AX_ROUNDS", 1), first = setting_or("AX_SEED", 1);
	for (int round = 0; round < rounds; round++)
		prove(setting_or("AX_SESSIONS", 200), static_cast<unsigned>(first + round));
}

} // namespace anycast::test
