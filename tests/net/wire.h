// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An interface that is flooded, while commands work on it. Only for use inside in_lab().
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "net/attaching.h"
#include "support/cli.h"
#include "support/packet.h"
#include "support/raw_sender.h"

namespace anycast::test {

// dev0 here, and somebody who sends to it from dev1.
struct Wire {
	Netns here{"here"};
	LinkEnd dev0{here, "dev0"}, dev1{here, "dev1"};
	Cli cli;
	std::string config = "/run/lab/wire.toml";
	std::optional<RawSender> sender;

	Wire()
	{
		here.run([] {
			make_veth();
			sh("sysctl -qw net.ipv6.conf.dev0.disable_ipv6=1 "
			   "net.ipv6.conf.dev1.disable_ipv6=1");
		});
		std::ofstream(config) << "[node]\nname = \"wire\"\ninterfaces = [\"dev0\"]\n"
					 "roles = [\"edge\"]\n";
		sender.emplace(dev1);
	}
	[[nodiscard]] std::uint64_t counted() const { return cli.stats(here).packets; }
	void replace_by(const Cli &build) const
	{
		const auto report = build.ask(here, {"attach", "--config", config});
		EXPECT_EQ(report.at("interfaces").at(0).at("replaced"), true);
	}
	// Sends all the time while `body` runs; how many frames went out.
	[[nodiscard]] std::uint64_t flood(const std::function<void()> &body) const
	{
		const Packet packet = Eth{} / Ip4{.src = "10.1.0.9", .dst = "10.1.0.1"} / Udp{};
		std::atomic<bool> enough = false;
		std::uint64_t sent = 0;
		std::exception_ptr broken;
		std::thread sending([&] {
			for (; !enough; leave_room()) {
				try {
					sender->send(packet.bytes());
					sent++;
				} catch (const LabError &) { // the device's queue is full
				}
			}
		});
		try {
			body();
		} catch (...) {
			broken = std::current_exception();
		}
		enough = true;
		sending.join();
		if (broken)
			std::rethrow_exception(broken);
		return sent;
	}
};

} // namespace anycast::test
