// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Health checks as the configuration knows them, and what a row of their results means.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"

namespace anycast {

using Milliseconds = std::chrono::milliseconds;

// "250ms", "1.5s", "2m", "1h", and back in the largest unit that takes it whole.
std::optional<Milliseconds> parse_duration(std::string_view text);
std::string duration_text(Milliseconds time);

enum class CheckType { kTcp, kUdp, kIcmp, kHttp, kHttps, kDns, kExec };
std::string_view check_type_name(CheckType type); // "tcp", "udp", ...

// [[vips.checks]] and [[pools.checks]]. Of a VIP: does this node serve it? Of a pool: does each of
// its backends?
struct CheckSpec {
	CheckType type = CheckType::kTcp;
	Milliseconds interval{1000};
	Milliseconds timeout{0};       // has no default: 0 is never valid
	std::uint32_t jitter = 10;     // percent of the interval, either way
	std::uint32_t rise = 2;	       // so many good results in a row: up
	std::uint32_t fall = 3;	       // so many bad ones: down
	std::uint16_t port = 0;	       // of a VIP's check: 0 = the VIP's
	std::optional<Address> target; // of a VIP's check; default: the VIP itself
	bool direct = false;	       // of a pool's check: the backend's own address
	std::string payload;	       // udp: what is sent
	std::string expect;	       // udp: found in the answer; dns: an address in it; "": any
	bool hex = false;	       // udp: both are hex digits
	std::string host;	       // http: Host header, and https: whose certificate
	std::string path = "/";	       // http
	std::vector<std::uint32_t> status; // http: accepted codes; none: 200 to 399
	std::string body;		   // http: found in the first 64 KiB of the body
	bool verify = true;		   // https: the certificate
	std::string name;		   // dns: what is asked for
	std::string record = "A";	   // dns
	std::vector<std::string> command;  // exec: absolute path and arguments, no shell
	bool operator==(const CheckSpec &) const = default;
};

// "http www.example.net/health", "exec /usr/lib/check-it"; without the place.
std::string describe(const CheckSpec &spec);

enum class Health { kUnknown, kUp, kDown };
std::string_view health_name(Health health); // "unknown", "up", "down"
std::optional<Health> health_from(std::string_view name);

// One result after another -> up or down. Unknown until `rise` good or `fall` bad ones in a row.
class RiseFall {
public:
	RiseFall(std::uint32_t rise, std::uint32_t fall, Health start = Health::kUnknown)
		: rise_(rise), fall_(fall), health_(start)
	{
	}

	bool add(bool good); // did the health change?
	[[nodiscard]] Health health() const { return health_; }
	[[nodiscard]] std::uint32_t in_a_row() const
	{
		return row_;
	} // equal results, the last ones

private:
	std::uint32_t rise_, fall_, row_ = 0;
	bool last_ = false;
	Health health_;
};

// Of all checks of one thing: down if any is, unknown if any is, else up; none at all: up.
Health combined(const std::vector<Health> &parts);

} // namespace anycast
