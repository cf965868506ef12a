// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A checking node, a serving one, and the check engine between them.
#pragma once

#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "health/engine.h"
#include "support/http.h"
#include "support/in_lab.h"

namespace anycast::test {

using health::CheckState;
using health::Engine;
using health::Target;

inline constexpr const char *kServer = "10.9.0.2", *kServer6 = "2001:db8:9::2";

inline std::string big_file() // that serve_http() wants, and nobody asks for here
{
	const std::string path = std::string(kLabDir) + "/big";
	std::ofstream(path, std::ios::app);
	return path;
}

// A checking node and a serving one.
struct World {
	World()
	{
		connect_veth({checker, "eth0"}, {server, "eth0"}, 1500);
		checker.ip("addr add 10.9.0.1/24 dev eth0\naddr add 2001:db8:9::1/64 dev eth0 "
			   "nodad");
		server.ip("addr add 10.9.0.2/24 dev eth0\naddr add 2001:db8:9::2/64 dev eth0 "
			  "nodad");
	}
	Netns checker{"checker"}, server{"server"};
};

inline Target target(const std::string &id, CheckType type, std::uint16_t port = 0,
		     const char *address = kServer)
{
	Target made{.id = id, .spec = {}, .address = *Address::parse(address), .port = port};
	made.spec.type = type;
	made.spec.interval = milliseconds(100);
	made.spec.timeout = milliseconds(80 * slowness());
	if (slowness() > 1)
		made.spec.interval = made.spec.timeout;
	made.spec.fall = 2;
	return made;
}

// Runs the engine in the checker's namespace until every check has so many runs behind it.
class Bench {
public:
	explicit Bench(const World &world, const std::string &user = "nobody")
		: world_(world), loop_(*Loop::make()),
		  engine_(loop_, *health::exec_user(user), [this](const CheckState &state) {
			  changes_.push_back(fmt::format("{} {}", state.target.id,
							 health_name(state.rise_fall.health())));
		  })
	{
	}
	void set(const std::vector<Target> &targets) { engine_.set(targets, {}); }
	void run_for(milliseconds time)
	{
		const auto end = Loop::Clock::now() + time;
		world_.checker.run([&] {
			while (Loop::Clock::now() < end)
				ASSERT_TRUE(loop_.turn(milliseconds(5)));
		});
	}
	bool until(const std::string &id, Health health, milliseconds limit = milliseconds(8000))
	{
		const auto end = Loop::Clock::now() + limit * slowness();
		while (Loop::Clock::now() < end) {
			if (state(id).rise_fall.health() == health)
				return true;
			run_for(milliseconds(10));
		}
		return false;
	}
	[[nodiscard]] const CheckState &state(const std::string &id) const
	{
		const CheckState *found = engine_.find(id);
		if (!found)
			throw LabError("no check " + id);
		return *found;
	}
	[[nodiscard]] const Engine &engine() const { return engine_; }
	[[nodiscard]] const std::vector<std::string> &changes() const { return changes_; }

private:
	const World &world_;
	Loop loop_;
	std::vector<std::string> changes_;
	Engine engine_;
};

// Answers each datagram with `prefix` and what it got.
inline Process serve_udp(const World &world, std::uint16_t port, const std::string &prefix)
{
	Process server = Process::call(
		world.server,
		[=] {
			const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
			const SocketAddress own({kServer, port});
			if (bind(fd.get(), own.get(), own.size))
				return 1;
			for (;;) {
				char buffer[2048];
				sockaddr_storage from{};
				socklen_t size = sizeof(from);
				const ssize_t got =
					recvfrom(fd.get(), buffer, sizeof(buffer), 0,
						 reinterpret_cast<sockaddr *>(&from), &size);
				const std::string answer =
					prefix + std::string(buffer, static_cast<std::size_t>(got));
				sendto(fd.get(), answer.data(), answer.size(), 0,
				       reinterpret_cast<sockaddr *>(&from), size);
			}
		},
		std::string(kLabDir) + "/udp.log");
	std::ostringstream listener;
	listener << " src " << kServer << ":" << port;
	if (!wait_until(milliseconds(15000) * slowness(), [&] {
		    return run(world.server, {"ss", "-Hlun", listener.str().substr(1)}).status ==
				   0 &&
			   run(world.server, {"ss", "-Hlun"}).out.find(fmt::format(":{}", port)) !=
				   std::string::npos;
	    }))
		throw LabError("the UDP server does not start");
	return server;
}

} // namespace anycast::test
