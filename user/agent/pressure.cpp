// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/pressure.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace anycast::agent {

namespace {

std::optional<std::string> text_of(const std::string &path)
{
	std::ifstream file(path);
	std::ostringstream text;
	if (!file || !(text << file.rdbuf()))
		return std::nullopt;
	return text.str();
}

std::optional<double> pressure(const std::string &proc, const char *what)
{
	const auto text = text_of(proc + "/pressure/" + what);
	return text ? psi_some_avg10(*text) : std::nullopt;
}

} // namespace

std::optional<double> psi_some_avg10(std::string_view text)
{
	constexpr std::string_view kBegin = "some avg10=";
	if (!text.starts_with(kBegin))
		return std::nullopt;
	text.remove_prefix(kBegin.size());
	double value = 0;
	if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
		return std::nullopt;
	return value;
}

std::optional<CpuTimes> cpu_times(std::string_view proc_stat)
{
	std::istringstream words{std::string(proc_stat.substr(0, proc_stat.find('\n')))};
	std::string name;
	std::uint64_t value = 0;
	CpuTimes times;
	if (!(words >> name) || name != "cpu")
		return std::nullopt;
	// user nice system idle iowait irq softirq steal; the guests' are in user already.
	for (int field = 0; field < 8 && words >> value; field++) {
		times.all += value;
		if (field != 3 && field != 4)
			times.busy += value;
	}
	return times.all == 0 ? std::nullopt : std::optional(times);
}

std::optional<double> Pressure::hottest() const
{
	std::optional<double> hottest;
	std::error_code error;
	for (const auto &zone :
	     std::filesystem::directory_iterator(sys_ + "/class/thermal", error)) {
		if (!zone.path().filename().string().starts_with("thermal_zone"))
			continue;
		const auto text = text_of(zone.path().string() + "/temp");
		long milli = 0;
		if (text && std::from_chars(text->data(), text->data() + text->size(), milli).ec ==
				    std::errc())
			hottest =
				std::max(hottest.value_or(-300), static_cast<double>(milli) / 1000);
	}
	return hottest;
}

Load Pressure::sample()
{
	Load load;
	load.cpu_pressure = pressure(proc_, "cpu");
	load.memory_pressure = pressure(proc_, "memory");
	load.io_pressure = pressure(proc_, "io");
	load.temperature = hottest();
	const auto text = text_of(proc_ + "/stat");
	const auto now = text ? cpu_times(*text) : std::nullopt;
	if (now && last_ && now->all > last_->all)
		load.cpu = 100.0 *
			   static_cast<double>(now->busy - std::min(now->busy, last_->busy)) /
			   static_cast<double>(now->all - last_->all);
	last_ = now;
	return load;
}

} // namespace anycast::agent
