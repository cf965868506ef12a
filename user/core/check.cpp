// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/check.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

namespace anycast {

namespace {

struct Unit {
	std::string_view name;
	std::int64_t ms;
};
constexpr Unit kUnits[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

constexpr std::string_view kTypes[] = {"tcp", "udp", "icmp", "http", "https", "dns", "exec"};
static_assert(std::size(kTypes) == static_cast<std::size_t>(CheckType::kExec) + 1);
constexpr std::string_view kHealth[] = {"unknown", "up", "down"};
static_assert(std::size(kHealth) == static_cast<std::size_t>(Health::kDown) + 1);

} // namespace

std::optional<Milliseconds> parse_duration(std::string_view text)
{
	double number = 0;
	const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number,
						  std::chars_format::fixed);
	const std::string_view unit(end, text.data() + text.size());
	const auto found = std::ranges::find(kUnits, unit, &Unit::name);
	if (error != std::errc() || found == std::end(kUnits) || number < 0 || number > 1e9)
		return std::nullopt;
	return Milliseconds(std::llround(number * static_cast<double>(found->ms)));
}

std::string duration_text(Milliseconds time)
{
	for (const Unit &unit : kUnits) // the largest first
		if (time.count() % unit.ms == 0 && (time.count() != 0 || unit.ms == 1000))
			return std::to_string(time.count() / unit.ms) + std::string(unit.name);
	return {}; // not reached: every number of milliseconds is one
}

std::string_view check_type_name(CheckType type)
{
	return kTypes[static_cast<std::size_t>(type)];
}

std::string_view health_name(Health health)
{
	return kHealth[static_cast<std::size_t>(health)];
}

std::optional<Health> health_from(std::string_view name)
{
	for (const Health health : {Health::kUnknown, Health::kUp, Health::kDown})
		if (health_name(health) == name)
			return health;
	return std::nullopt;
}

std::string describe(const CheckSpec &spec)
{
	std::string text(check_type_name(spec.type));
	switch (spec.type) {
	case CheckType::kHttp:
	case CheckType::kHttps:
		return text + " " + spec.host + spec.path;
	case CheckType::kDns:
		return text + " " + spec.name + " " + spec.record;
	case CheckType::kExec:
		return text + " " + (spec.command.empty() ? "" : spec.command.front());
	default:
		return text;
	}
}

bool RiseFall::add(bool good)
{
	row_ = row_ == 0 || good != last_ ? 1 : row_ + (row_ < UINT32_MAX);
	last_ = good;
	const Health before = health_;
	if (good && row_ >= rise_)
		health_ = Health::kUp;
	else if (!good && row_ >= fall_)
		health_ = Health::kDown;
	return health_ != before;
}

Health combined(const std::vector<Health> &parts)
{
	if (std::ranges::find(parts, Health::kDown) != parts.end())
		return Health::kDown;
	if (std::ranges::find(parts, Health::kUnknown) != parts.end())
		return Health::kUnknown;
	return Health::kUp;
}

} // namespace anycast
